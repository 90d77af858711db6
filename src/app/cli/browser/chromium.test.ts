import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../../../test/temporary.ts";
import { findChromium, openPage } from "./chromium.ts";

afterEach(() => {
  vi.unstubAllEnvs();
  vi.doUnmock("playwright-core");
});

test("names the package to install if Playwright is missing", async () => {
  vi.stubEnv("CHROME_PATH", process.execPath);
  vi.doMock("playwright-core", () => {
    throw new Error("Cannot find package");
  });
  await expect(openPage(temporaryFolder())).rejects.toMatchObject({
    code: "E_ENGINE_MISSING",
    advice: ["npm install playwright-core"],
  });
});

test.skipIf(process.platform === "win32")(
  "starts the browser with a pipe, without a port, and names a failure",
  async () => {
    const folder = temporaryFolder();
    const [program, words] = [join(folder, "browser"), join(folder, "words")];
    writeFileSync(program, `#!/bin/sh\nprintf '%s\\n' "$@" > ${words}\necho "no display" >&2\nexit 3\n`);
    chmodSync(program, 0o755);
    vi.stubEnv("CHROME_PATH", program);
    await expect(openPage(folder)).rejects.toMatchObject({
      code: "E_ENGINE",
      message: `"${program}" does not start: no display`,
    });
    expect(readFileSync(words, "utf8")).toContain("--remote-debugging-pipe\n");
    expect(readFileSync(words, "utf8")).not.toContain("--remote-debugging-port");
    expect(readdirSync(folder).sort()).toEqual(["browser", "words"]);
  },
);

test.skipIf((await findChromium().catch(() => undefined)) === undefined)(
  "reports a page that crashes and removes the profile",
  async () => {
    const folder = temporaryFolder();
    const { page, failure: lost, close } = await openPage(folder);
    // The navigation does not end.
    page.goto("chrome://crash").catch(() => {});
    await expect(lost).rejects.toMatchObject({
      code: "E_ENGINE",
      message: expect.stringContaining("The page crashed"),
    });
    await close();
    expect(readdirSync(folder)).toEqual([]);
  },
  120_000,
);
