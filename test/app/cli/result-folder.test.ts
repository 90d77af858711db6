/** Tests that `pith compress` overwrites no files of an author. */
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compressing, results, textOf } from "./compressing.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

const { compress, folder } = compressing(at);

/** Files that every result requires. */
const needed = ["model.onnx", "run.json"];

describe.each(results)("%s", (name) => {
  test.each(["changed since", "of somebody else"])("is kept if it is %s", async (which) => {
    const out = folder();
    if (which === "changed since") await compress(out);
    else mkdirSync(out);
    if (which === "changed since" && name === "run.json")
      writeFileSync(join(out, name), textOf(join(out, name)).replace('"format": 1', '"format": 1, "note": "mine"'));
    else appendFileSync(join(out, name), "\n# by the author\n");
    const before = textOf(join(out, name));
    const there = readdirSync(out);
    for (let time = 0; time < 2; time++) {
      const { code, out: text, err } = await compress(out);
      expect(textOf(join(out, name))).toBe(before);
      if (needed.includes(name)) {
        expect({ code, err }).toEqual({
          code: 2,
          err: expect.stringContaining(`E_OPTION: "${join(out, name)}" was not written by Pith, or was changed since`),
        });
        expect(readdirSync(out)).toEqual(there);
      } else {
        expect({ code, err }).toEqual({
          code: 0,
          err: expect.stringContaining(`kept: ${join(out, name)} stays as it is`),
        });
        expect(text).not.toMatch(new RegExp(`^written: .*${join(out, name)}`, "m"));
        expect(existsSync(join(out, "model.onnx"))).toBe(true);
      }
    }
  });
});

test("an edited recipe in the folder of its results can run, and is kept", async () => {
  const out = folder();
  await compress(out);
  const edited = `${textOf(join(out, "recipe.yaml"))}# half as much\n`;
  writeFileSync(join(out, "recipe.yaml"), edited);
  const words = ["compress", at("mixed.onnx"), "--data", at("points.csv"), "-r", join(out, "recipe.yaml"), "--force"];
  expect(await pith(...words, "-o", out)).toMatchObject({ code: 0, err: expect.stringContaining("recipe.yaml stays") });
  expect(textOf(join(out, "recipe.yaml"))).toBe(edited);
});

describe("the page", () => {
  test("of debug is printed as replaced", async () => {
    const words = ["debug", at("right.onnx"), at("near.onnx"), "-o", at("debug.html")];
    expect((await pith(...words)).out).toMatch(/debug\.html\n/);
    expect((await pith(...words)).out).toMatch(/debug\.html \(replaced\)\n/);
  });
});
