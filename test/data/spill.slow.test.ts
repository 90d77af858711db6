/** Temporary files on a full disk. */
import { expect, test } from "vitest";
import { start } from "./spilled.ts";

test.skipIf(process.platform === "win32")(
  "a full disk causes a readable error and leaves no temporary file",
  async () => {
    // ulimit counts blocks of 512 bytes, so files can grow to 1 MiB.
    const { child, gone, left } = start("ulimit -f 2048;");
    let output = "";
    child.stdout.on("data", (text) => {
      output += text;
    });
    const [code] = await gone;
    expect([code, left()]).toEqual([0, []]);
    expect(output).toMatch(
      /E_FILE: A temporary file in ".*" cannot be written: the file would exceed the size limit\. Set TMPDIR/,
    );
  },
);
