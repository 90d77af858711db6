import { configDefaults, defineConfig } from "vitest/config";

const conditions = ["pith-source", "node"];
const exclude = [...configDefaults.exclude, "**/*.slow.test.ts"];

const shared = ["src/**/*.test.ts", "test/{laws,microsoft,passes,prune,quantize,report,train,zoo}/**/*.test.ts"];

/** The quick suites: under three minutes on two cores. Slower ones are named `*.slow.test.ts`, see vitest.all.config.ts. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    // The default leaves one core idle, which is half of a small machine.
    maxWorkers: "100%",
    projects: [
      // These keep nothing from file to file: they share processes, and what these have loaded.
      { extends: true, test: { name: "shared", include: shared, isolate: false } },
      // Programs are started and folders made: a process per file.
      {
        extends: true,
        test: {
          name: "apart",
          include: ["test/**/*.test.ts", "scripts/**/*.test.ts"],
          exclude: [...exclude, ...shared],
        },
      },
    ],
    exclude,
    setupFiles: ["test/setup/console.ts", "test/setup/contract.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
