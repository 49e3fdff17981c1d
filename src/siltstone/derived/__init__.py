"""Tables made whole from other tables: resample and asof."""
