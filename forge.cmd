@echo off
rem Finds Python 3.11 or newer and hands over to bootstrap\setup.py, which installs what is missing and runs the command.
setlocal
set "HERE=%~dp0"
if exist "%HERE%.venv\forge_stamp.json" if exist "%HERE%.venv\Scripts\python.exe" (
    "%HERE%.venv\Scripts\python.exe" "%HERE%bootstrap\setup.py" %*
    exit /b
)
where py >nul 2>nul && py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && (
    py -3 "%HERE%bootstrap\setup.py" %*
    exit /b
)
where python >nul 2>nul && python -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && (
    python "%HERE%bootstrap\setup.py" %*
    exit /b
)
echo forge: found no Python 3.11 or newer (looked for py -3 and python). 1>&2
echo Install one from https://www.python.org/downloads/ and run the same again. 1>&2
exit /b 6
