/** Measures the memory that something takes, in a process that does nothing else. */
import { readFileSync, writeFileSync } from "node:fs";

/**
 * Measures resident memory from now on; the returned function gives the bytes by which its peak exceeds the present value.
 *
 * Linux keeps the peak and can reset it. Elsewhere the peak is that of the whole process: if an earlier one was not exceeded, the memory held at the
 * end is taken instead.
 */
export function startMeter(): () => number {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    const before = linuxPeak();
    return () => Math.max(0, linuxPeak() - before);
  } catch {
    const before = process.memoryUsage.rss();
    const earlier = processPeak();
    return () => {
      const later = processPeak();
      return Math.max(0, (later > earlier ? later : process.memoryUsage.rss()) - before);
    };
  }
}

/** The high-water mark of this process alone: what `getrusage` says includes the process that started it. */
function linuxPeak(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error("no VmHWM");
  return Number(kilobytes) * 1024;
}

function processPeak(): number {
  return process.resourceUsage().maxRSS * 1024;
}
