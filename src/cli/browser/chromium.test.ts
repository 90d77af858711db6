import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { openPage } from "./chromium.ts";

test.skipIf(process.platform === "win32")("tells a browser the address of a page through a pipe only", async () => {
  const folder = temporaryFolder();
  const [program, words, order] = ["browser", "words", "order"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  // Writes what it is started with and the first order, and waits for the end of the pipe.
  const lines = ["#!/bin/sh", `{ printf '%s\\n' "$@"; env; } > ${words}`, `exec cat <&3 > ${order}`];
  writeFileSync(program, lines.join("\n"));
  chmodSync(program, 0o755);
  const address = "http://127.0.0.1:4000/0123456789abcdef/?runtime=wasm";
  const page = await openPage(program, address, folder);
  const told = (): string => (existsSync(order) ? readFileSync(order, "utf8") : "");
  while (!told().includes("\0")) await new Promise((resolve) => setTimeout(resolve, 10));
  await page.close();
  expect(JSON.parse(told().replace("\0", ""))).toMatchObject({ params: { url: address } });
  expect(readFileSync(words, "utf8")).toContain("--remote-debugging-pipe");
  expect(readFileSync(words, "utf8")).not.toMatch(/127\.0\.0\.1|0123456789abcdef/);
});
