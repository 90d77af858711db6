/** Builds the studio, serves it, and opens it in a real browser. The caller removes the temporary folders. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import type { Page } from "playwright-core";
import { build } from "vite";
import { openPage } from "../../src/app/cli/browser/chromium.ts";
import { root } from "../page.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** Builds the page as it is published, into an empty folder. */
export async function buildStudioIn(folder: string): Promise<void> {
  const { NODE_ENV: before } = process.env;
  // The test runner sets another value, which would build the page for development.
  process.env.NODE_ENV = "production";
  await build({
    configFile: join(root, "studio/vite.config.ts"),
    logLevel: "error",
    build: { outDir: folder, emptyOutDir: true, reportCompressedSize: false },
  });
  if (before === undefined) delete process.env.NODE_ENV;
  else process.env.NODE_ENV = before;
}

export interface Studio {
  readonly page: Page;
  /** Addresses that the page requested outside of its own origin. */
  readonly foreign: readonly string[];
  /** Errors that the page printed or did not catch. */
  readonly errors: readonly string[];
  /** Closes the tab, and opens another one. */
  reopen(): Promise<Page>;
  stopServer(): void;
  close(): Promise<void>;
}

export interface StudioOptions {
  /** Whether the server sends the headers that threads require. */
  readonly isolates?: boolean;
  /** Folder of the server in which the page is. */
  readonly base?: string;
}

/** Serves a built page and opens it. @param temporary folder for the browser's profile. */
export async function openStudioIn(
  temporary: string,
  folder: string,
  { isolates = true, base = "/" }: StudioOptions = {},
): Promise<Studio> {
  const server = createServer(async (request, response) => {
    const [url = "/"] = (request.url ?? "/").split("?");
    const path = url.startsWith(base) ? url.slice(base.length) : "missing";
    const file = join(folder, path === "" ? "index.html" : path);
    if (isolates) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Content-Type", types[extname(file)] ?? "text/javascript");
    const content = await readFile(file).catch(() => undefined);
    response.writeHead(content === undefined ? 404 : 200).end(content);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const stopServer = (): void => {
    server.closeAllConnections();
    server.close();
  };
  const opened = await openAddressIn(temporary, `http://127.0.0.1:${port}${base}`);
  return {
    ...opened,
    stopServer,
    async close() {
      await opened.close();
      stopServer();
    },
  };
}

/** Opens an address of the studio in a browser. @param temporary folder for the browser's profile. */
export async function openAddressIn(temporary: string, address: string): Promise<Omit<Studio, "stopServer">> {
  const { origin } = new URL(address);
  const { page, close } = await openPage(temporary);
  const foreign: string[] = [];
  const errors: string[] = [];
  const context = page.context();
  context.on("request", (request) => {
    const url = request.url();
    if (![`${origin}/`, `blob:${origin}/`, "data:"].some((start) => url.startsWith(start))) foreign.push(url);
  });
  context.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  context.on("weberror", (error) => errors.push(error.error().message));
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(address);
  return {
    page,
    foreign,
    errors,
    async reopen() {
      const [current] = context.pages();
      const next = await context.newPage();
      await current?.close();
      await next.goto(address);
      return next;
    },
    close,
  };
}
