"""What the network sees: the VGG plan, its weights, statistics of its feature maps."""
