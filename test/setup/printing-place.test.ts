import { expect, test } from "vitest";
import { printingPlace } from "./printing-place.ts";

const root = "/home/someone/pith/src/";
const stack = (...places: string[]) => ["Error", ...places.map((place) => `    at f (${place}:7:3)`)].join("\n");

test("reports library code that prints, with its line", () => {
  expect(printingPlace(stack("/home/someone/pith/test/setup/console.ts", `${root}ops/conv.ts`), root)).toBe(
    "src/ops/conv.ts:7",
  );
});

test("reads stack frames without a function name and with a file URL", () => {
  expect(printingPlace(`Error\n    at file://${root}ops/conv.ts:12:1`, root)).toBe("src/ops/conv.ts:12");
});

test("allows the command line to print, also through the library", () => {
  expect(printingPlace(stack(`${root}app/report/table.ts`, `${root}app/cli/main.ts`), root)).toBeUndefined();
});

test("allows tests to print, also those next to the sources", () => {
  expect(printingPlace(stack(`${root}ops/conv.test.ts`), root)).toBeUndefined();
  expect(printingPlace(stack("/home/someone/pith/test/zoo/zoo.ts"), root)).toBeUndefined();
});
