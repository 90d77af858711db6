/** Opens a file of about 1 GB in the tab, and reads the memory of the tab from the system. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Page } from "playwright-core";

/** Whether the system tells the memory of other processes. */
export const isMemoryKnown = existsSync("/proc/self/status");

/** Memory of the tab in bytes. */
export interface TabMemory {
  /** Most that was resident since the tab was opened: its own memory, and pages of the browser's program that all tabs share. */
  readonly peak: number;
  /** What is resident now and belongs to the tab alone. */
  readonly own: number;
}

/** Returns the memory of the process that draws the page and runs its workers: the largest renderer that this process has started. */
export function tabMemory(): TabMemory {
  const parents = new Map<number, number>();
  const renderers = new Map<number, TabMemory>();
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const status = readFileSync(`/proc/${name}/status`, "utf8");
      const field = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
      parents.set(Number(name), field("PPid"));
      if (readFileSync(`/proc/${name}/cmdline`, "utf8").includes("--type=renderer"))
        renderers.set(Number(name), {
          peak: 1024 * field("VmHWM"),
          own: 1024 * (field("RssAnon") + field("RssShmem")),
        });
    } catch {
      // The process has ended since the listing.
    }
  }
  const isDescendant = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === process.pid || isDescendant(parents.get(pid)));
  const own = [...renderers].filter(([pid]) => isDescendant(pid)).map(([, memory]) => memory);
  const [largest] = own.toSorted((a, b) => b.peak - a.peak);
  if (largest === undefined) throw new Error("No renderer of this process is running.");
  return largest;
}

export interface LargeFile {
  /** Of the tab before the file was chosen, when the layers were shown, and when the size after brotli was shown. */
  readonly before: TabMemory;
  readonly shown: TabMemory;
  readonly measured: TabMemory;
  /** Seconds until the layers were shown, and until the size after brotli was shown. */
  readonly seconds: readonly [shown: number, measured: number];
  /** Layers in the picture. */
  readonly cells: number;
  /** Heading of the step "Model". */
  readonly heading: string;
}

/** Chooses a model file, and waits until its layers and its size after brotli are shown. */
export async function openLargeFile(page: Page, path: string): Promise<LargeFile> {
  const before = tabMemory();
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  await page.setInputFiles("input[type=file] >> nth=0", path);
  const title = page.getByRole("heading", { level: 1, name: /layers hold/ });
  await title.waitFor();
  const [shown, shownAfter] = [tabMemory(), seconds()];
  const cells = await page.locator(".treemap .cell").count();
  const heading = (await title.textContent()) ?? "";
  await page.getByText("being measured", { exact: true }).waitFor({ state: "detached" });
  return { before, shown, measured: tabMemory(), seconds: [shownAfter, seconds()], cells, heading };
}
