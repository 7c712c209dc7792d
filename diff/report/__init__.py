"""How a judged run is shown: terminal, JSON, HTML, Markdown and JUnit, all made from the same report."""
