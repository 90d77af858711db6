import { expect, test } from "vitest";
import { changelogSection, checkChangelog, checkPackageSize, checkTag } from "./release.ts";

const changelog = "# Changelog\n\n## 1.2.0\n\n### Added\n\n- A flag.\n\n## 1.1.0\n\n- An option.\n";

test("a section ends before the next version", () => {
  expect(changelogSection(changelog, "1.2.0")).toBe("### Added\n\n- A flag.");
  expect(changelogSection(changelog, "1.1.0")).toBe("- An option.");
  expect(changelogSection(changelog, "1.0.0")).toBeUndefined();
});

test("the first section of the changelog is for unreleased changes or the version", () => {
  expect(checkChangelog(changelog, "1.2.0")).toBeUndefined();
  expect(checkChangelog("# Changelog\n\n## Unreleased\n", "1.2.0")).toBeUndefined();
  expect(checkChangelog(changelog, "1.3.0")).toContain('expected "Unreleased" or "1.3.0"');
});

test("a tag equals the version, which has a section", () => {
  expect(checkTag("v1.2.0", "1.2.0", changelog)).toBeUndefined();
  expect(checkTag("v1.2.1", "1.2.0", changelog)).toContain("v1.2.1");
  expect(checkTag("v1.3.0", "1.3.0", changelog)).toContain('no section "## 1.3.0"');
});

test("a package with too many files or bytes is rejected", () => {
  const reportsOf = (entryCount: number, unpackedSize: number) => {
    const report = { name: "pith", entryCount, unpackedSize };
    return [report, { pith: report }].map((each) => JSON.stringify(each));
  };
  for (const report of reportsOf(10, 1000)) expect(checkPackageSize(report)).toBeUndefined();
  for (const report of reportsOf(1000, 1000)) expect(checkPackageSize(report)).toContain("1000 files");
  for (const report of reportsOf(10, 9e6)) expect(checkPackageSize(report)).toContain("9000000 bytes");
});
