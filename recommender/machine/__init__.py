"""The hardware and software at hand: GPUs as NVML reports them, host RAM, disk, library versions."""
