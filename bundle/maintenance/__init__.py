"""For maintainers: pack a release, draw the pictures of the documentation, and compare two versions' behaviour.

Scripts call these modules (``scripts/release.py``, ``scripts/docs_pictures.py``, ``scripts/readme_picture.py`` and
``scripts/same_behaviour.py``); nothing else in the package does.
"""
