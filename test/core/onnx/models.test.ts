import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { shared } from "../../shared.ts";

const folders = ["models", "zoo", "conformance/custom-ops"].map((name) => shared(join("data", name)));

function onnxFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? onnxFiles(path) : name.endsWith(".onnx") ? [path] : [];
  });
}

for (const folder of folders) {
  describe.skipIf(folder === undefined || onnxFiles(folder).length === 0)(
    `every model of ${folder ?? "a folder that is not there"}`,
    () => {
      const files = folder === undefined ? [] : onnxFiles(folder);

      test.each(files.map((file) => [relative(folder ?? "", file), file]))(
        "%s is saved byte for byte",
        async (_, file) => {
          const original = readFileSync(file);
          const model = await open(file);
          const bytes = await encodeToBytes(model);
          const hasExternal = [...model.graph.values()].some(
            ({ tensor }) => tensor?.stored !== undefined && tensor.stored.source.name !== file,
          );
          if (!hasExternal) {
            // Byte for byte: field order, spelled-out defaults, unknown fields, unnamed dimensions.
            expect(Buffer.compare(bytes, original)).toBe(0);
            return;
          }
          // Weights move into the file; from then on it stays as it is.
          const again = await open(bytes);
          expect(Buffer.compare(await encodeToBytes(again), bytes)).toBe(0);
          for (const value of model.graph.values()) {
            if (value.tensor === undefined) continue;
            expect(await again.graph.value(value.name)?.tensor?.read()).toEqual(await value.tensor.read());
          }
        },
      );
    },
  );
}
