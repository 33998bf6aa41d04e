import { existsSync } from 'node:fs';

// The kernel module's device node, its report, and the WSL 2 way in.
const TRACES = ['/dev/nvidiactl', '/proc/driver/nvidia/version', '/usr/lib/wsl/lib/libcuda.so.1'];

/** Whether an NVIDIA driver is loaded here. Costs three stat calls; says nothing about its version. */
export function driverPresent(): boolean {
  return TRACES.some((file) => existsSync(file));
}
