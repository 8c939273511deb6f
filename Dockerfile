# impasto studio on a CPU, with the weights of VGG-19 and slim inside. docs/how-to/install.md says how to run it.
FROM python:3.13-slim

RUN --mount=type=bind,target=/source,rw pip install --no-cache-dir --constraint /source/constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu "/source[studio,film,faces,regions,heic]"

# Hugging Face runs its Spaces as user 1000.
RUN useradd --create-home --uid 1000 painter && install --directory --owner painter /home/painter/studio
USER painter
EXPOSE 7860

# The studio does not start without a password in IMPASTO_STUDIO_PASSWORD. Hugging Face sets SPACE_HOST.
CMD ["sh", "-c", "exec impasto studio --host 0.0.0.0 --host-name ${SPACE_HOST:-localhost} --folder ~/studio --max-gigabytes 2"]
