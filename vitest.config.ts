import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

const conditions = ["pith-source", "node"];

/** Tests whose files do not depend on each other's state. */
const shared = [
  "src/**/*.test.ts",
  "test/{generated,judge,laws,learn,rewrite,runtime,setup,zoo}/**/*.test.ts",
  "test/{app/{folder,report},core/{math,ops,pass},techniques/{calibrate,prune,quantize}}/**/*.test.ts",
  "test/{data/images,core/engine/{screen,weights},core/onnx/{foreign,hostile,models}}.test.ts",
  "scripts/**/*.test.ts",
  "studio/src/**/*.test.ts",
];
/** Tests that use the compiled command line. */
const commands = ["test/{app/cli,docs,techniques/recover}/**/!(*.slow).test.ts"];
const compiled = "test/setup/compiled.ts";
const together = { isolate: false, setupFiles: ["test/setup/folders.ts"] };

/** Configures all suites except those in `leftOut`. @param timeout milliseconds for each test. */
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
        // These files share processes and loaded modules.
        { extends: true, test: { name: "shared", include: shared, exclude, ...together, ...timeouts } },
        {
          extends: true,
          test: { name: "commands", include: commands, exclude, ...together, globalSetup: compiled, ...timeouts },
        },
        // These files replace modules of Node or need much memory, so each has its own process.
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
      // Some tests load the runtime without Pith.
      env: { ORT_DISABLE_TELEMETRY: "1" },
    },
  });
}

/** The quick suites. Slower ones are named `*.slow.test.ts`, see vitest.all.config.ts. */
export default suites(["**/*.slow.test.ts"], 60_000);
