import { mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { invocation, replaceProgramName } from "./program.ts";

describe("invocation", () => {
  const folder = temporaryFolder();
  const withProgram = (...names: readonly string[]): string => {
    const place = join(folder, ...names);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "pith"), "");
    return place;
  };

  test("returns `pith` if it is on the PATH", () => {
    expect(invocation({ PATH: ["/none", withProgram("bin")].join(delimiter) })).toBe("pith");
  });

  test.each([
    ["it is nowhere on the PATH", "/none"],
    ["there is no PATH", undefined],
    ["it is only in the project, whose folder npx puts on the PATH", withProgram("node_modules", ".bin")],
  ])("returns `npx --no-install pith` if %s", (_, PATH) => {
    expect(invocation({ PATH })).toBe("npx --no-install pith");
  });
});

describe("asTyped", () => {
  test("replaces `pith` at the start of command lines", () => {
    const text = "next: pith bench a.onnx. See pith --help; `pith eval`, npx pith eval and npx --no-install pith eval.";
    expect(replaceProgramName(text, "npx --no-install pith")).toBe(
      "next: npx --no-install pith bench a.onnx. See npx --no-install pith --help; `npx --no-install pith eval`, npx pith eval and npx --no-install pith eval.",
    );
    expect(replaceProgramName(text, "pith")).toBe(text);
  });

  test("does not change text that is not a command line", () => {
    const text = "pith 0.1.0, /usr/lib/pith train, my-pith eval, pith is small";
    expect(replaceProgramName(text, "npx --no-install pith")).toBe(text);
  });
});
