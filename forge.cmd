@echo off
rem Finds Python 3.11 or newer and hands over to bootstrap\setup.py, which installs what is missing and runs the command.
rem The newest comes last: xatlas has no ready-made package for 3.14 yet, so that it needs a compiler there.
setlocal
set "HERE=%~dp0"
if exist "%HERE%.venv\forge_stamp.json" if exist "%HERE%.venv\Scripts\python.exe" (
    "%HERE%.venv\Scripts\python.exe" "%HERE%bootstrap\setup.py" %*
    exit /b
)
for %%V in (3.13 3.12 3.11 3) do (
    py -%%V -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && (
        py -%%V "%HERE%bootstrap\setup.py" %*
        exit /b
    )
)
python -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && (
    python "%HERE%bootstrap\setup.py" %*
    exit /b
)
echo forge: found no Python 3.11 or newer (looked with py and python). 1>&2
echo Install one from https://www.python.org/downloads/ and run the same again. 1>&2
exit /b 6
