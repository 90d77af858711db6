// Prints "N passed, N failed" from the JSON report of vitest, and fails unless something passed and nothing failed. Plain JavaScript
// without dependencies: it also has to tell that an install failed.
import { readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
try {
  const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  // A file that could not be loaded, or whose hooks failed, has failed although no test of it did.
  for (const file of report.testResults) {
    if (file.status === "failed" && !file.assertionResults.some(({ status }) => status === "failed")) failed += 1;
  }
} catch (error) {
  console.error(`The tests did not report: ${error.message}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
