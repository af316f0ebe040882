# Debian leaves the programs of administrators out of a user's PATH, but this user calls sudo for everything. Fedora's image
# has them in the PATH as well.
case :$PATH: in
*:/usr/sbin:*) ;;
*) PATH=$PATH:/usr/local/sbin:/usr/sbin ;;
esac
