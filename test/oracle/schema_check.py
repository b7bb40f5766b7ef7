#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do configs/schema.json and `lowbit check` give the same verdict? usage: schema_check.py LOWBIT, from the root of the repository"""

import glob
import json
import os
import subprocess
import sys

from jsonschema import Draft202012Validator

# Cases that the schema takes for valid, each with the reason why no schema of this kind can see the error.
ONLY_LOWBIT = {
    "activations_fit": "a format that is right elsewhere",
    "activations_qat": "a format that is right elsewhere",
    "format_qat_in_layers": "a format that is right elsewhere",
    "format_qat_fit_layers": "each format is right by itself",
    "search_qat": "a format that is right without a search",
    "backends_same_name": "a text and an object get the same name by default",
    "format_fit_activations": "a format that is right elsewhere",
    "formats_same_name": "a text and an object get the same name by default",
    "formats_same_default_name": "two objects get the same name by default",
    "layer_init_low_high": "one number compared with another",
    "models_same_name": "names differ between objects",
    "models_two_unnamed": "names differ between objects",
    "published_row_format": "a name that must stand elsewhere",
    "published_row_model": "a name that must stand elsewhere",
    "json_nan": "Python reads NaN, which is no JSON",
    "search_fit": "a format that is right without a search",
    "named_list": "the error is in formats.json",
    "named_no_name": "the error is in formats.json",
    "named_syntax": "the error is in formats.json",
    "named_text": "the error is in formats.json",
    "named_twice": "the error is in formats.json",
    "named_unknown_key": "the error is in formats.json",
    "named_cycle": "the error is in formats.json",
    "named_cycle_scale": "the error is in formats.json",
    "named_scale_key": "the error is in formats.json",
}
# Cases that never reach the schema, because Python's reader refuses the text as lowbit's does: JSON syntax, encoding.
UNREADABLE = {
    "json_bad_escape", "json_blank", "json_bom", "json_comment", "json_deep", "json_empty", "json_leading_zero", "json_not_utf8", "json_nul",
    "json_raw_newline", "json_single_quotes", "json_trailing_comma", "json_trailing_text", "json_unclosed",
}  # fmt: skip
# Errors that a --set makes: the file itself is valid, or is judged without it.
BY_SET = "sets.txt"


def no_duplicates(pairs):
    keys = [k for k, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("duplicate key")
    return dict(pairs)


def judged_by_schema(validator, path):
    """True, False, or None where Python cannot read the text. Duplicate keys are errors, as in lowbit: a schema sees only the last of them."""
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if text.startswith("\ufeff"):
            return None
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    try:
        json.loads(text, object_pairs_hook=no_duplicates)
    except ValueError:
        return False
    return validator.is_valid(value)


def judged_by_lowbit(lowbit, path):
    run = subprocess.run([lowbit, "check", path], capture_output=True, text=True)
    if run.returncode not in (0, 2):
        sys.exit(f"{lowbit} check {path}: exit status {run.returncode}\n{run.stderr}")
    return run.returncode == 0


def main():
    lowbit = sys.argv[1]
    with open("configs/schema.json", encoding="utf-8") as f:
        schema = json.load(f)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    shipped = [p for p in glob.glob("configs/*.json") + glob.glob("configs/paper/*.json") if os.path.basename(p) not in ("formats.json", "schema.json")]
    invalid = [p for p in glob.glob("test/config/invalid/*/config.json") if not os.path.exists(os.path.join(os.path.dirname(p), BY_SET))]
    valid = glob.glob("test/config/valid/*.json")
    bad = []
    if len(valid) < 5 or len(invalid) < 60:
        bad.append(f"only {len(valid)} valid and {len(invalid)} invalid cases were found")
    for path in sorted(shipped + valid + invalid):
        case = os.path.basename(os.path.dirname(path)) if path in invalid else None
        by_schema, by_lowbit = judged_by_schema(validator, path), judged_by_lowbit(lowbit, path)
        wanted = None if case in UNREADABLE else True if case in ONLY_LOWBIT else case is None
        if by_schema != wanted:
            bad.append(f"{path}: the schema says {by_schema}, expected {wanted}")
        if by_lowbit != (case is None):
            bad.append(f"{path}: lowbit says {by_lowbit}; repeat: {lowbit} check {path}")
    for name in sorted(set(ONLY_LOWBIT) | UNREADABLE):
        if not os.path.exists(f"test/config/invalid/{name}/config.json"):
            bad.append(f"{name} is listed in test/oracle/schema_check.py, and there is no such case")
    print(f"{len(shipped)} shipped, {len(valid)} valid and {len(invalid)} invalid configs; {len(bad)} disagreements")
    print("\n".join(bad + ["repeat: .venv/bin/python test/oracle/schema_check.py " + lowbit] if bad else []))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
