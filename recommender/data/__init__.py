"""Rows, templates, tokens and label masks: one module makes what the screen shows and the worker trains on.

`load.profile_data` reads files and gives a `dataset.DataSet` with its `profile.DataProfile`; `split.split` holds rows
out; `synthetic.synthetic_profile` stands for data that is not at hand; `document` prints a profile. On the way a row is
found (`files`, `readers`), recognised (`shapes`), normalised (`normalise`, `examples`), rendered (`templates`, `jinja`,
`turns`) and tokenised (`vocabulary`, `tokenise`), or estimated where there is no tokenizer (`estimate`).
"""
