import { readFileSync, writeFileSync } from "node:fs";

/**
 * Starts measuring resident memory. The returned function gives the bytes by which the peak exceeds the present value.
 *
 * Linux can reset the peak. Elsewhere it includes the whole process: if an earlier peak was not exceeded, the memory at the end counts.
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

/** `getrusage` includes the parent process, unlike VmHWM. */
function linuxPeak(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error("no VmHWM");
  return Number(kilobytes) * 1024;
}

function processPeak(): number {
  return process.resourceUsage().maxRSS * 1024;
}
