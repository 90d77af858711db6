import { expect, test } from "vitest";
import { printingPlace } from "./printing-place.ts";

const root = "/home/someone/pith/src/";
const stack = (...places: string[]) => ["Error", ...places.map((place) => `    at f (${place}:7:3)`)].join("\n");

test("code of the library that prints is named with its line", () => {
  expect(printingPlace(stack("/home/someone/pith/test/setup/console.ts", `${root}ops/conv.ts`), root)).toBe(
    "src/ops/conv.ts:7",
  );
});

test("a frame without a function name and a file URL are read too", () => {
  expect(printingPlace(`Error\n    at file://${root}ops/conv.ts:12:1`, root)).toBe("src/ops/conv.ts:12");
});

test("the command line may print, also through the library", () => {
  expect(printingPlace(stack(`${root}report/table.ts`, `${root}cli/main.ts`), root)).toBeUndefined();
});

test("a test may print, also one that lies beside its source", () => {
  expect(printingPlace(stack(`${root}ops/conv.test.ts`), root)).toBeUndefined();
  expect(printingPlace(stack("/home/someone/pith/test/zoo/zoo.ts"), root)).toBeUndefined();
});
