# shellcheck shell=bash
# Sourced by scripts/quickstart and scripts/test, in the repository's root: makes .venv and installs a hashed
# lock and the project into it, once. Run by itself it prints the Python that .venv would be made with.
# Bash 3.2 (macOS) runs it too.

venv_python=.venv/bin/python

say() { printf 'nin-exp: %s\n' "$1" >&2; }

fail() { # MESSAGE: a line as nin-exp's own, exit code 2
  printf 'nin-exp: error: %s\n' "$1" >&2
  exit 2
}

# What the shell around us says about Python must not reach .venv. Where pip gets packages from (index, proxy,
# certificates, cache) stays the user's; where and how it puts them (PIP_TARGET, PIP_NO_BINARY, ...) is ours.
isolate_environment() {
  local name
  unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH __PYVENV_LAUNCHER__ VIRTUAL_ENV
  for name in $(compgen -e PIP_); do
    case $name in
      PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_NO_INDEX | PIP_TRUSTED_HOST | PIP_PROXY | PIP_CERT | \
        PIP_CLIENT_CERT | PIP_KEYRING_PROVIDER | PIP_USE_FEATURE | PIP_CONFIG_FILE | PIP_CACHE_DIR | PIP_NO_CACHE_DIR | \
        PIP_TIMEOUT | PIP_DEFAULT_TIMEOUT | PIP_RETRIES | PIP_LOG) ;;
      *) unset "$name" ;;
    esac
  done
  # These four override a pip.conf as well.
  export PIP_USER=0 PIP_REQUIRE_HASHES=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
  export PIP_ROOT_USER_ACTION=ignore
}

describe_python() { # PYTHON: prints "3.12 cpython venv", or nothing where it does not run (a pyenv shim, a stub)
  "$1" -I -c 'import importlib.util as u, sys
print("%d.%d" % sys.version_info[:2], sys.implementation.name,
      "venv" if u.find_spec("venv") and u.find_spec("ensurepip") else "bare")' 2>/dev/null </dev/null
}

find_python() { # sets base_python: python3 where it is in range, else any other on PATH
  local name candidate description version seen='' bare=''
  while IFS= read -r candidate; do
    case $candidate in "$PWD"/.venv/*) continue ;; esac
    description=$(describe_python "$candidate") || continue
    version=${description%% *}
    case $description in
      '3.11 cpython venv' | '3.12 cpython venv' | '3.13 cpython venv')
        base_python=$candidate
        return
        ;;
      '3.11 cpython bare' | '3.12 cpython bare' | '3.13 cpython bare') bare=${bare:-$version} ;;
      "3.11 "* | "3.12 "* | "3.13 "*) seen="$seen${seen:+, }${description% *} ($candidate)" ;;
      *) case $seen in *"$version ("*) ;; *) seen="$seen${seen:+, }$version ($candidate)" ;; esac ;;
    esac
  done < <(for name in python3 python3.13 python3.12 python3.11 python; do type -ap "$name"; done)
  if [ -n "$bare" ]; then
    fail "Python $bare must come with venv and ensurepip, and does not; install them: apt install python$bare-venv"
  fi
  fail "Python must be 3.11, 3.12 or 3.13, found ${seen:-no Python 3} on PATH; install python3.12 and run this again"
}

make_venv() { # keeps a .venv whose Python and pip work, makes or remakes it otherwise
  local description='' reason=''
  if [ -e .venv ]; then
    if [ ! -f .venv/pyvenv.cfg ] && [ -n "$(find -L .venv -type f | head -n 1)" ]; then
      fail "$PWD/.venv must be a virtual environment, and is something else; move it away and run this again"
    fi
    description=$(describe_python "$venv_python") || description=''
    case $description in
      '3.11 cpython '* | '3.12 cpython '* | '3.13 cpython '*)
        "$venv_python" -I -m pip --version >/dev/null 2>&1 && return
        "$venv_python" -I -m ensurepip >/dev/null 2>&1
        "$venv_python" -I -m pip --version >/dev/null 2>&1 && return
        reason='its pip does not work'
        ;;
      '') reason='its Python does not run' ;;
      *) reason="its Python is ${description% *}" ;;
    esac
  fi
  find_python
  if [ -n "$reason" ]; then say "remaking .venv: $reason"; fi
  # Cleared even when new: a folder left by a kill may lack anything.
  if ! "$base_python" -m venv --clear .venv; then
    fail "$base_python must be able to make .venv, and could not (see above); free space or install its venv package"
  fi
}

# A wheel whose installation was killed has its METADATA and no RECORD, which pip writes last: pip would take it
# for installed.
drop_half_installed() {
  local folder
  for folder in .venv/lib/python3.*/site-packages/*.dist-info; do
    if [ -d "$folder" ] && [ ! -f "$folder/RECORD" ]; then rm -rf "$folder"; fi
  done
  rm -rf .venv/lib/python3.*/site-packages/~*
}

pip_install() { "$venv_python" -I -m pip install --quiet --quiet --progress-bar off "$@"; }

install_all() { # LEVEL
  # One package of the lock has a source distribution alone. Built in isolation it would fetch a setuptools that
  # no hash vouches for: so the lock's own setuptools goes first, and isolation is off.
  awk '/^[^ #]/ { keep = /^setuptools==/ } keep' "requirements/$1.lock" >.venv/setuptools.lock
  pip_install --require-hashes -r .venv/setuptools.lock &&
    pip_install --require-hashes --no-build-isolation -r "requirements/$1.lock" &&
    pip_install --no-deps --no-build-isolation --editable .
}

is_ready() { # LEVEL
  [ -x "$venv_python" ] && "$venv_python" -I -S scripts/setup_stamp.py check "$1" 2>/dev/null
}

# Two first runs at once would install into each other. The lock lies on the open file, so that it ends with this
# shell however the shell ends; any Python can take it. Where files cannot be locked, we go on without.
wait_for_other_setup() {
  local candidate
  exec 9<pyproject.toml
  for candidate in "$venv_python" python3 python; do
    "$candidate" -I -c 'import fcntl
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("nin-exp: waiting for another installation into .venv", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)' >&2 2>/dev/null && return
  done
}

setup() { # LEVEL: run or dev. Returns with .venv complete, or exits.
  isolate_environment
  if is_ready "$1"; then return; fi
  trap 'exit 130' INT # else a pip that was stopped looks like one that failed
  wait_for_other_setup
  if ! is_ready "$1"; then
    make_venv
    rm -f .venv/nin-exp-stamp
    say "installing requirements/$1.lock into .venv, about 5 minutes and 6 GB the first time"
    drop_half_installed
    if ! install_all "$1"; then
      fail "requirements/$1.lock must be installed into .venv, and pip failed (see above); run this again to go on"
    fi
    "$venv_python" -I -S scripts/setup_stamp.py write "$1" || fail '.venv must be writable'
  fi
  exec 9<&-
  trap - INT
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -u -o pipefail
  isolate_environment
  find_python
  printf '%s\n' "$base_python"
fi
