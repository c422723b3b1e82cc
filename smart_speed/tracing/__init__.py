"""Traces of what drafters would write, and what any policy would have made of it.

``record`` needs models; everything else reads what it wrote, and needs none.
"""
