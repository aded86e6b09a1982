package config

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	minSecretKey  = 32 // characters
	secretKeyFile = "secret.key"
	keySize       = 32 // bytes
)

// Keys are derived from PARLEY_SECRET_KEY, one for each purpose, so that none tells anything of another.
type Keys struct {
	// Fingerprint tells one secret key from another and cannot be turned back.
	Fingerprint []byte

	pseudonym []byte
}

// NewKeys derives the keys from a secret key.
func NewKeys(secret Secret) (Keys, error) {
	fingerprint, err := derive(secret, "fingerprint")
	if err != nil {
		return Keys{}, err
	}
	pseudonym, err := derive(secret, "pseudonym")
	if err != nil {
		return Keys{}, err
	}
	return Keys{Fingerprint: fingerprint, pseudonym: pseudonym}, nil
}

func derive(secret Secret, purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret.Reveal()), nil, "parley "+purpose, keySize)
	if err != nil {
		return nil, fmt.Errorf("deriving the %s key: %w", purpose, err)
	}
	return key, nil
}

// Pseudonym stands for the name of an app's end user where the name must not appear. The same name has the same
// pseudonym, and without the secret key nobody can tell whose it is, not even by trying names. No name has none.
func (k Keys) Pseudonym(user string) string {
	if user == "" {
		return ""
	}
	mac := hmac.New(sha256.New, k.pseudonym)
	mac.Write([]byte(user))
	return "user_" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// Keys derives the keys from PARLEY_SECRET_KEY or, where that is not set, from the file secret.key in PARLEY_DATA, which
// is made if there is none. PARLEY_DATA must exist.
func (c *Config) Keys() (Keys, error) {
	secret := c.SecretKey
	if secret == "" {
		var err error
		if secret, err = loadSecretKey(filepath.Join(c.Data, secretKeyFile)); err != nil {
			return Keys{}, fmt.Errorf("the secret key: %w", err)
		}
	}
	return NewKeys(secret)
}

// SecretKeyPath is the file that holds the secret key, or empty where PARLEY_SECRET_KEY does.
func (c *Config) SecretKeyPath() string {
	if c.SecretKey != "" {
		return ""
	}
	return filepath.Join(c.Data, secretKeyFile)
}

func loadSecretKey(path string) (Secret, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecretKey(path); err != nil {
			return "", err
		}
		info, err = os.Lstat(path)
	}
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s must be a regular file, not a link or anything else", path)
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("%s can be read by every user of this machine: run chmod 600 on it", path)
	}
	text, err := readSecretFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if len(text) < minSecretKey {
		return "", fmt.Errorf("%s holds fewer than %d characters", path, minSecretKey)
	}
	return Secret(text), nil
}

// makeSecretKey writes a new key under another name first and then links it: a crash leaves no half of a key, and of
// two servers that start at once both use the same one.
func makeSecretKey(path string) (err error) {
	random := make([]byte, keySize)
	_, _ = rand.Read(random) // It never fails: the program would end.
	temp, err := os.CreateTemp(filepath.Dir(path), secretKeyFile+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.WriteString(hex.EncodeToString(random) + "\n")
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the name durable: a key that is lost in a power cut would lock the database out.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // The operator names the directory.
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
