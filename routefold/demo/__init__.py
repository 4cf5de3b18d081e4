"""The demonstration: traffic simulated from published benchmark figures, and a view of learning.

No model is called. models.csv names the source of every figure; traffic.py says what is assumed.
"""
