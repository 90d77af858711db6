/** How `pith studio` passes the one-time key to the browser. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { openInBrowser } from "../../src/app/cli/commands/studio.ts";
import { temporaryFolder } from "../temporary.ts";

test.skipIf(process.platform === "win32")("gives the key in a private file, and in no argument", async () => {
  const folder = temporaryFolder();
  const words = join(folder, "words");
  for (const name of ["xdg-open", "open"]) {
    mkdirSync(join(folder, "bin"), { recursive: true });
    writeFileSync(
      join(folder, "bin", name),
      `#!/bin/sh\nprintf '%s' "$*" > ${words}.part\nmv ${words}.part ${words}\n`,
    );
    chmodSync(join(folder, "bin", name), 0o755);
  }
  const { PATH } = process.env;
  process.env.PATH = [join(folder, "bin"), PATH].join(delimiter);
  try {
    const removeFile = await openInBrowser("http://127.0.0.1:1/key");
    await expect.poll(() => existsSync(words), { timeout: 20_000 }).toBe(true);
    const file = readFileSync(words, "utf8");
    expect(file).not.toContain("key");
    expect(readFileSync(file, "utf8")).toContain('content="0; url=http://127.0.0.1:1/key"');
    expect([statSync(file), statSync(dirname(file))].map(({ mode }) => mode & 0o777)).toEqual([0o600, 0o700]);
    await removeFile();
    expect(existsSync(dirname(file))).toBe(false);
  } finally {
    process.env.PATH = PATH;
  }
});
