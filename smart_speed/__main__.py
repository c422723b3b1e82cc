"""``python -m smart_speed`` is ``smart-speed``."""

from smart_speed.cli import main

raise SystemExit(main())
