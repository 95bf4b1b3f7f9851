"""The machine's hardware and software: GPUs as NVML reports them, host RAM, disk, library versions."""
