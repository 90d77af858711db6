/** The most memory that this process has held, in bytes: the system's own mark. */
import { readFileSync } from "node:fs";

export function peakMemory(): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return 1024 * Number(kibibytes ?? Number.NaN);
}
