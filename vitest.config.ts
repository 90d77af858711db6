import { configDefaults, defineConfig } from "vitest/config";

/** The quick suites: under three minutes on two cores. Slower ones are named `*.slow.test.ts`, see vitest.all.config.ts. */
export default defineConfig({
  resolve: { conditions: ["pith-source", "node"] },
  ssr: { resolve: { conditions: ["pith-source", "node"], externalConditions: ["pith-source", "node"] } },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts", "scripts/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "**/*.slow.test.ts"],
    setupFiles: ["test/setup/console.ts", "test/setup/contract.ts"],
    // ONNX Runtime blocks its thread and holds native memory: a process per file gives both back.
    pool: "forks",
    // The default leaves one core idle, which is half of a small machine.
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
