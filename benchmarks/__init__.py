"""One file per question. Each prints lines {"bench", "case", "who", "metric", "value", "unit"}.

The first line names the machine and the versions. Absolute figures depend on the machine; compare
figures of one run.
"""
