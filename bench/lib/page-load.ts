/** Measures how a browser loads a page: its first contentful paint and its scripts. */
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Page, Request } from "playwright-core";
import { median } from "./print.ts";

/** Returns a function that measures the median seconds from the request of an address to its first contentful paint, without caches. */
export async function paintTimer(
  page: Page,
  loads: number,
): Promise<(address: string, isScripted: boolean) => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Page.enable");
  await session.send("Network.enable");
  await session.send("Page.setLifecycleEventsEnabled", { enabled: true });
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  await session.send("Network.setBypassServiceWorker", { bypass: true });
  // A page without scripts has no observer of paints, so that the browser's own events are read.
  const paintSeconds = async (address: string): Promise<number> => {
    await page.goto("about:blank");
    let requested = Number.NaN;
    session.once("Network.requestWillBeSent", ({ timestamp }) => {
      requested = timestamp;
    });
    const painted = new Promise<number>((resolve) => {
      const listen = ({ name, timestamp }: { name: string; timestamp: number }): void => {
        if (name !== "firstContentfulPaint" || Number.isNaN(requested)) return;
        session.off("Page.lifecycleEvent", listen);
        resolve(timestamp);
      };
      session.on("Page.lifecycleEvent", listen);
    });
    await page.goto(address);
    return (await painted) - requested;
  };
  return async (address, isScripted) => {
    await session.send("Emulation.setScriptExecutionDisabled", { value: !isScripted });
    const seconds: number[] = [];
    for (let load = 0; load < loads; load++) seconds.push(await paintSeconds(address));
    await session.send("Emulation.setScriptExecutionDisabled", { value: false });
    return median(seconds);
  };
}

/** Returns a set to which the paths of all further requests of the page are added, except those that `isIgnored` names. */
export function recordRequests(page: Page, isIgnored: (request: Request) => boolean): ReadonlySet<string> {
  const paths = new Set<string>();
  page.context().on("request", (request) => {
    if (!isIgnored(request)) paths.add(decodeURIComponent(new URL(request.url()).pathname.slice(1)));
  });
  return paths;
}

export interface ScriptSize {
  readonly path: string;
  /** Kilobytes of the file, after gzip (level 9) and after brotli (level 11). */
  readonly plain: number;
  readonly gzip: number;
  readonly brotli: number;
}

/** Returns the sizes of the scripts among the paths of a built page. */
export function scriptSizes(folder: string, paths: Iterable<string>): readonly ScriptSize[] {
  return [...paths]
    .filter((path) => [".js", ".mjs"].includes(extname(path)))
    .map((path) => {
      const bytes = readFileSync(join(folder, path));
      const [gzip, brotli] = [gzipSync(bytes, { level: 9 }), brotliCompressSync(bytes)];
      return { path, plain: bytes.length / 1000, gzip: gzip.length / 1000, brotli: brotli.length / 1000 };
    });
}
