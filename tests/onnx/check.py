"""check.py FILE...: onnx.checker's opinion of each file, shapes inferred too. Prints TAP's result lines without numbers."""

import os
import sys

import onnx

for path in sys.argv[1:]:
    name = "/".join(path.split(os.sep)[-2:])
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        facts = {entry.key for entry in model.metadata_props}
        good = {"class_names", "name", "checksum", "temperature"} <= facts
        print(f"{'ok' if good else 'not ok'} {name}: onnx.checker accepts it, and its facts are there")
    except Exception as error:  # whatever the checker raises is its verdict
        print(f"not ok {name}: {error}")
