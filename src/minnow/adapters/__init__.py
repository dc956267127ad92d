"""Adapters to other libraries, one file each: LangChain, LlamaIndex and mteb."""
