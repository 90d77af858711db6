/** Opens a file of about 1 GB in the tab, and reads the memory of the tab from the system. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Page } from "playwright-core";

/** Whether the system tells the memory of other processes. */
export const isMemoryKnown = existsSync("/proc/self/status");

/** Memory of the tab in bytes. */
export interface TabMemory {
  /** Bytes of the tab alone, as the browser's task manager counts them. */
  readonly own: number;
  /** Resident bytes: `own`, and the pages of the browser's program that all tabs share. */
  readonly all: number;
}

/** Returns the memory of the process that draws the page and runs its workers: the largest renderer that this process has started. */
function tabMemory(): TabMemory {
  const parents = new Map<number, number>();
  const renderers = new Map<number, TabMemory>();
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const status = readFileSync(`/proc/${name}/status`, "utf8");
      const field = (key: string): number =>
        1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
      parents.set(Number(name), Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0));
      if (readFileSync(`/proc/${name}/cmdline`, "utf8").includes("--type=renderer"))
        renderers.set(Number(name), { own: field("RssAnon") + field("RssShmem"), all: field("VmRSS") });
    } catch {
      // The process has ended since the listing.
    }
  }
  const isDescendant = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === process.pid || isDescendant(parents.get(pid)));
  const memories = [...renderers].filter(([pid]) => isDescendant(pid)).map(([, memory]) => memory);
  const [largest] = memories.toSorted((a, b) => b.all - a.all);
  if (largest === undefined) throw new Error("No renderer of this process is running.");
  return largest;
}

export interface LargeFile {
  /** Memory before the file was chosen. */
  readonly before: TabMemory;
  /** Peaks until the layers were shown, and until the size after brotli was shown. */
  readonly shown: TabMemory;
  readonly measured: TabMemory;
  /** Seconds until the layers were shown, and until the size after brotli was shown. */
  readonly seconds: readonly [shown: number, measured: number];
  /** Layers in the picture. */
  readonly cells: number;
  /** Heading of the step "Model". */
  readonly heading: string;
}

/** Milliseconds between two looks at the memory. */
const interval = 50;

/** Chooses a model file, and waits until its layers and its size after brotli are shown. */
export async function openLargeFile(page: Page, path: string): Promise<LargeFile> {
  const before = tabMemory();
  let peak = before;
  const look = (): TabMemory => {
    const { own, all } = tabMemory();
    peak = { own: Math.max(peak.own, own), all: Math.max(peak.all, all) };
    return peak;
  };
  const timer = setInterval(look, interval);
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  try {
    await page.setInputFiles("input[type=file] >> nth=0", path);
    const title = page.getByRole("heading", { level: 1, name: /layers hold/ });
    await title.waitFor();
    const [shown, shownAfter] = [look(), seconds()];
    const cells = await page.locator(".treemap .cell").count();
    const heading = (await title.textContent()) ?? "";
    await page.getByText("being measured", { exact: true }).first().waitFor({ state: "detached" });
    return { before, shown, measured: look(), seconds: [shownAfter, seconds()], cells, heading };
  } finally {
    clearInterval(timer);
  }
}
