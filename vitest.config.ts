import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

const conditions = ["pith-source", "node"];

/** Tests that keep nothing from file to file. */
const shared = [
  "src/**/*.test.ts",
  "test/{calibrate,folder,generated,judge,laws,math,nn,ops,pass,prune,quantize,report,rewrite,runtime,setup,train,zoo}/**/*.test.ts",
  "test/{data/images,engine/screen,engine/weights,onnx/foreign,onnx/hostile,onnx/models}.test.ts",
  "scripts/**/*.test.ts",
  "studio/src/**/*.test.ts",
];
/** Of those, what uses the compiled command line. */
const commands = ["test/{cli,docs,recover}/**/!(*.slow).test.ts"];
const compiled = "test/setup/compiled.ts";
const together = { isolate: false, setupFiles: ["test/setup/folders.ts"] };

/** The suites but for those that are left out, with so many milliseconds for a test. */
export function suites(leftOut: readonly string[], timeout: number): ViteUserConfig {
  const exclude = [...configDefaults.exclude, ...leftOut];
  const timeouts = { testTimeout: timeout, hookTimeout: timeout };
  return defineConfig({
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: conditions } },
    test: {
      // The default leaves one core idle, which is half of a small machine.
      maxWorkers: "100%",
      projects: [
        // They share processes, and what these have loaded.
        { extends: true, test: { name: "shared", include: shared, exclude, ...together, ...timeouts } },
        {
          extends: true,
          test: { name: "commands", include: commands, exclude, ...together, globalSetup: compiled, ...timeouts },
        },
        // Node's modules are replaced, or a file takes much memory: a process per file.
        {
          extends: true,
          test: {
            name: "apart",
            include: ["test/**/*.test.ts"],
            exclude: [...exclude, ...shared, ...commands],
            globalSetup: compiled,
            ...timeouts,
          },
        },
      ],
      setupFiles: ["seconds", "console", "contract", "equality"].map((name) => `test/setup/${name}.ts`),
      pool: "forks",
      // Of tests that load the runtime without Pith.
      env: { ORT_DISABLE_TELEMETRY: "1" },
    },
  });
}

/** The quick suites. Slower ones are named `*.slow.test.ts`, see vitest.all.config.ts. */
export default suites(["**/*.slow.test.ts"], 60_000);
