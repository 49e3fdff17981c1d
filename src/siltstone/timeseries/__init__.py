"""Pure kernels of time series: points become states, states become measures."""
