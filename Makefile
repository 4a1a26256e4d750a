# Thin wrapper around meson and ninja; see "make help".
all:
	@test -f build/build.ninja || meson setup build
	@ninja -C build
