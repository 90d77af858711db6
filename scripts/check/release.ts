/** Checks of what a release needs: the version in the changelog, and the size of the package. */

/** Limits of the package with declarations: the measured numbers, and about 3 % for what will be added. */
const [fileLimit, byteLimit] = [292, 4_300_000];

export interface PackReport {
  readonly entryCount: number;
  readonly unpackedSize: number;
}

/** Returns the text of a version's section in the changelog; undefined if it has none. */
export function changelogSection(changelog: string, version: string): string | undefined {
  const [, ...sections] = changelog.split(/^## /m);
  const section = sections.find((text) => text.split("\n", 1)[0]?.trim() === version);
  return section?.slice(section.indexOf("\n") + 1).trim();
}

/** Returns what is wrong with the changelog: its first section is for unreleased changes, or for the version of package.json. */
export function checkChangelog(changelog: string, version: string): string | undefined {
  const title = /^## (.+)$/m.exec(changelog)?.[1]?.trim();
  if (title === "Unreleased" || title === version) return undefined;
  return `CHANGELOG.md: its first section is "${title}": expected "Unreleased" or "${version}".`;
}

/** Returns why a tag cannot be released; undefined if it can. */
export function checkTag(tag: string, version: string, changelog: string): string | undefined {
  if (tag !== `v${version}`) return `The tag is ${tag}, and the version in package.json is ${version}.`;
  const section = changelogSection(changelog, version);
  return section === undefined || section === "" ? `CHANGELOG.md has no section "## ${version}".` : undefined;
}

/** Returns what is too large in a report of `npm publish --json`. Since npm 11, the report is under the name of the package. */
export function checkPackageSize(json: string): string | undefined {
  const { pith: report }: { readonly pith: PackReport } = { pith: JSON.parse(json), ...JSON.parse(json) };
  const { entryCount, unpackedSize } = report;
  if (entryCount <= fileLimit && unpackedSize <= byteLimit) return undefined;
  return `The package has ${entryCount} files and ${unpackedSize} bytes: at most ${fileLimit} files and ${byteLimit} bytes are allowed.`;
}
