"""A small, real language model: corpus, tokenizer, transformer, training, generation, adapters and quantisation."""
