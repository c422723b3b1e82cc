"""smart_speed beside other people's speculative decoding, on the same weights and prompts."""
