// Tells the server the viewer's zone, so that the times of the next page are theirs.
"use strict";
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  const root = document.documentElement.dataset.root;
  document.cookie = `outhaul_zone=${zone}; path=${root}; max-age=31536000; samesite=lax`;
}
