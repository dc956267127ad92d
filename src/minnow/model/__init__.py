"""Understanding a Hugging Face model; knows nothing of MNN."""
