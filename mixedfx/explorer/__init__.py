"""One page in which readers ask a model for any subgroup: what it holds, how that is packed, and the file made of it.

`content` says what such a page knows, `packing` makes JSON of it, `page` puts it with the modules of `web/` into one
HTML file. Nothing here knows of fits: `mixedfx.effects.exploring` fills a page from an answer.
"""
