"""Made-up photographs: cameras, shifts and phantoms. Only training, tests, demonstration and benchmark come here."""
