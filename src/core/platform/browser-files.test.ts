import { describe, expect, test } from "vitest";
import { fileKind, listFolder, openBeside, openFile, readText } from "./browser.ts";
import { addFiles, fileAt } from "./browser-files.ts";
import * as node from "./node.ts";

const file = (text: string): Blob => new Blob([text]);

describe("files that were added in a browser", () => {
  test("are read under their paths, however a path is written", async () => {
    addFiles([["photos/cat/1.jpg", file("one")]]);
    expect(await readText("photos/cat/1.jpg")).toBe("one");
    expect(await readText("./photos//cat/1.jpg")).toBe("one");
    expect(await readText("photos/dog/../cat/1.jpg")).toBe("one");
    expect((await openFile("photos/cat/1.jpg")).name).toBe("photos/cat/1.jpg");
  });

  test("form folders, whose names are listed in ascending order", async () => {
    addFiles(["f/b/2.txt", "f/b/1.txt", "f/b/c/3.txt", "f/a.onnx"].map((path) => [path, file("")] as const));
    expect(await listFolder("f/b/")).toEqual(["1.txt", "2.txt", "c"]);
    expect(await listFolder("f")).toEqual(["a.onnx", "b"]);
    expect(await listFolder(".")).toContain("f");
    expect(await Promise.all(["f/b", "f/b/c", "f/b/1.txt"].map(fileKind))).toEqual(["folder", "folder", "file"]);
  });

  test("are all that their folders contain, so that the network is not asked for other names", async () => {
    addFiles([["model/model.onnx", file("")]]);
    expect(await fileKind("model/config.json")).toBeUndefined();
  });

  test("replace earlier files of the same folder", async () => {
    addFiles([
      ["a/1.txt", file("old")],
      ["a/deep/2.txt", file("of the other folder")],
      ["b/1.txt", file("kept")],
    ]);
    addFiles([["a/1.txt", file("new")]]);
    expect(await readText("a/1.txt")).toBe("new");
    expect(fileAt("a/deep/2.txt")).toBeUndefined();
    expect(await readText("b/1.txt")).toBe("kept");
  });

  test("refer to external data in their own folder only", async () => {
    addFiles([
      ["m/model.onnx", file("")],
      ["m/weights/model.data", file("weights")],
      ["secret", file("")],
    ]);
    const data = await openBeside("m/model.onnx", "weights/model.data");
    expect(new TextDecoder().decode(await data.read(0, data.size))).toBe("weights");
    for (const outside of ["../secret", "/secret", "weights/../../secret", ""])
      await expect(openBeside("m/model.onnx", outside)).rejects.toMatchObject({ code: "E_MODEL" });
  });

  test("name the missing file if external data was not added", async () => {
    addFiles([["model.onnx", file("")]]);
    await expect(openBeside("model.onnx", "model.onnx_data")).rejects.toMatchObject({
      code: "E_FILE",
      message: '"model.onnx" stores weights in "model.onnx_data", which was not added.',
      hint: "Add both files, or the folder that contains them.",
    });
  });
});

test("a folder without added files cannot be listed in a browser", async () => {
  await expect(listFolder("other")).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
});

test("addFiles fails in Node, which reads files by their paths", () => {
  expect(() => node.addFiles([])).toThrow("Files are added under paths in browsers only.");
});
