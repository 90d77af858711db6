/** Builds the studio, serves it, and opens it in a real browser. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import type { Page } from "playwright-core";
import { build } from "vite";
import { openPage } from "../../src/app/cli/browser/chromium.ts";
import { root } from "../page.ts";
import { temporaryFolder } from "../temporary.ts";

export { browser } from "../page.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** Builds the page as it is published. @returns the folder with its files. */
export async function buildStudio(): Promise<string> {
  const folder = temporaryFolder();
  await build({
    configFile: join(root, "studio/vite.config.ts"),
    logLevel: "error",
    build: { outDir: folder, emptyOutDir: true, reportCompressedSize: false },
  });
  return folder;
}

export interface Studio {
  readonly page: Page;
  /** Addresses that the page requested outside of its own origin. */
  readonly foreign: readonly string[];
  /** Errors that the page printed or did not catch. */
  readonly errors: readonly string[];
  close(): Promise<void>;
}

export async function openStudio(folder: string): Promise<Studio> {
  const server = createServer(async (request, response) => {
    const [path = "/"] = (request.url ?? "/").split("?");
    const file = join(folder, path === "/" ? "index.html" : path);
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    response.setHeader("Content-Type", types[extname(file)] ?? "text/javascript");
    const content = await readFile(file).catch(() => undefined);
    response.writeHead(content === undefined ? 404 : 200).end(content);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}/`;
  const { page, close } = await openPage(temporaryFolder());
  const foreign: string[] = [];
  const errors: string[] = [];
  page.on("request", (request) => {
    const address = request.url();
    if (![origin, `blob:${origin}`, "data:"].some((start) => address.startsWith(start))) foreign.push(address);
  });
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(origin);
  return {
    page,
    foreign,
    errors,
    async close() {
      await close();
      server.closeAllConnections();
      server.close();
    },
  };
}
