"""Byte formats: BHive CSV, TFRecord, protocol buffers."""
